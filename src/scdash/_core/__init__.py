"""What every part of the package stands on: names of results, stored fits, labels of groups."""
