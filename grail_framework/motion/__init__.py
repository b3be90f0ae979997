"""Motion libraries: reading, checking, resampling and sampling reference motions."""
