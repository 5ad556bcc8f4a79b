"""Speakers of Libri2Mix or Libri3Mix, apart, with noise or without."""

from speechkit.tasks import Separation, main

if __name__ == "__main__":
    main(Separation, __file__)
