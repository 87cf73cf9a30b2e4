"""What is kept between runs, and by what key."""
