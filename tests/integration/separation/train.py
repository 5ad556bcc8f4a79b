"""Separation: the smallest recipe."""

from speechkit.tasks import Separation, main

if __name__ == "__main__":
    main(Separation, __file__)
