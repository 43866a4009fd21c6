"""What people read: words, tables, the page and its figures."""
