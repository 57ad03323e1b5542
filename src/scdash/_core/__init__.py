"""What every other room of the package rests on."""
