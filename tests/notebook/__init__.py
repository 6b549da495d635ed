"""The notebook's door: pictures, forms, living views, magics."""
