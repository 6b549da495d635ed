"""The notebook's door: how sessions, runs, questions and a whole project show themselves in Jupyter."""
