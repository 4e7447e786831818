"""What a policy attaches to a permit, and the budgets they reserve.

What each type of obligation means, what is reserved and settled, and whether two answers bind a
call alike. Not in here: when they are applied (`broker`), or what policies may attach them.
"""
