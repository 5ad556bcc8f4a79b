"""Environmental sounds of ESC-50 and ESC-10."""

from speechkit.tasks import Classification, main

if __name__ == "__main__":
    main(Classification, __file__)
