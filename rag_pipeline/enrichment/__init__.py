"""Models as steps of the pipeline: what is read out of texts by rules, embedding models and chat models."""
