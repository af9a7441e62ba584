"""rtb beside what people would use in its place, on the same servers, by the same clock."""
