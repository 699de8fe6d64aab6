"""The helpdesks: one file per vendor with both its doors, verify + parse in, write-back out."""
