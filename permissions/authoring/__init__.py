"""What the authors of policies ask before they ship one, beside what the linter says.

What other programs find (`outside`). Nothing in here decides a call, and the broker imports
none of it.
"""
