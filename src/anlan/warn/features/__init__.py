"""Risk features 风险特征: definitions as data, bound to a plant's points and computed step by step."""
