"""Live pages: the browser follows topics on one stream and fetches its page again when one of them has changed."""
