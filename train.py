"""Train, unlearn, compare: the command line from a clone of the repository; installed it is called `dau-lightning`."""

from dau_lightning.run.command_line import main

if __name__ == "__main__":
    main()
