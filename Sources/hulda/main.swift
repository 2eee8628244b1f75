print("hulda")
