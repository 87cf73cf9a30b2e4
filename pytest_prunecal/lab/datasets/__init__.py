"""The built-in data sets, one a file, and what every data set is."""
