"""What the page needs, without widgets: systems for all visitors, runs, visitors' files, the endpoint for programs."""
