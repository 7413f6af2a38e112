"""From any file to a prepared mammogram: numpy and pydicom, no torch."""
