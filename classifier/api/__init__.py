"""The front doors: thin handlers that read a request, ask the pipeline and write the answer."""
