"""A language model: the smallest recipe."""

from speechkit.tasks import LanguageModeling, main

if __name__ == "__main__":
    main(LanguageModeling, __file__)
