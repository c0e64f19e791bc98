"""Tools that tests use and a person may start by hand."""
