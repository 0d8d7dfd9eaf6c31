"""The attacks and tests of an audit, one in each file; `conf/audit/` has a yaml file with the settings of each."""
