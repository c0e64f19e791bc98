"""The tests: run them with ./run test, or ./run check for the quick ones."""
