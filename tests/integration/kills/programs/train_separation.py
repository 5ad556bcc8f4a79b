"""An experiment that can be told, by the environment, to die at a chosen moment."""

import os

from sabotage import arm, take_out

from speechkit.tasks import Separation, main

if __name__ == "__main__":
    take_out(os.environ.get("TAKE_OUT", ""))
    arm(os.environ.get("KILL_AT", ""))
    main(Separation, __file__)
