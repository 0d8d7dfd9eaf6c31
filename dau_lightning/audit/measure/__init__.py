"""The tests of an audit, a file each; `conf/audit/` has a yaml file with the settings of each."""
