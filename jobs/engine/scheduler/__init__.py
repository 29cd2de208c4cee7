"""What the active scheduler does: feed what is due, rescue what is lost, clean up."""
