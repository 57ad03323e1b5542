"""What every part of the package stands on: state of the process, names of results, stored fits, labels of groups."""
