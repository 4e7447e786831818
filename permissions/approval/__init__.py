"""The human step: requests to lift a denial, the people who answer, their signatures."""
