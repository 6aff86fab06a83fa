"""A synthetic bank whose true rewards are known, so that regret can be stated and not guessed."""
