"""The image a predictor runs: scores, decisions and principal reasons."""
