"""Classical mistakes, planted one at a time: does the simulator find them?"""
