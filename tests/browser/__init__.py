"""What a person sees and clicks: JupyterLab in a real browser."""
