"""The command line in a clone of the repository; the installed package has the same command as `dau-lightning`."""

from dau_lightning.run.command_line import main

if __name__ == "__main__":
    main()
