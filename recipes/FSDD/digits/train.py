"""Spoken digits of the Free Spoken Digit Dataset."""

from speechkit.tasks import Classification, main

if __name__ == "__main__":
    main(Classification, __file__)
