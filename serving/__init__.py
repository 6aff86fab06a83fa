"""Second floor: composes the others into an API, a learner, an encoder, a dashboard and a command line."""
