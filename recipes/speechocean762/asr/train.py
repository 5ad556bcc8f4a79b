"""Speech recognition on speechocean762."""

from speechkit.tasks import ASR, main

if __name__ == "__main__":
    main(ASR, __file__)
