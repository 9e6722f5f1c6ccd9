"""Import: records of other formats, mapped explicitly, into the lake; what cannot be mapped goes to quarantine."""
