"""Screens with cells of several times: responses, errors and predictions at times."""
