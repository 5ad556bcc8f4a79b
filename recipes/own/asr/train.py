"""Speech recognition on recordings of one's own."""

from speechkit.tasks import ASR, main

if __name__ == "__main__":
    main(ASR, __file__)
