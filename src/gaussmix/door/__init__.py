"""What a user gave, checked: each error says which parameter, column or row is wrong, and what to do."""
