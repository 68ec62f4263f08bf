"""Tools that prepare data sets: run each as `python dataset/NAME.py`; README.md here lists them."""
