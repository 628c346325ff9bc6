"""Parcels: from what single patches found to one parcel layer of a region."""
