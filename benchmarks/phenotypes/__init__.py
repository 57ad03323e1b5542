"""Known loss-of-function phenotypes of transcription factors beside scores of knock-outs."""
