"""Eight spoken words by CTC."""

from speechkit.tasks import ASR, main

if __name__ == "__main__":
    main(ASR, __file__)
