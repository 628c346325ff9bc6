"""The pixels of a grid that parcels cover, and the geometric features of parcels."""
