"""Language models on the texts of LibriSpeech."""

from speechkit.tasks import LanguageModeling, main

if __name__ == "__main__":
    main(LanguageModeling, __file__)
