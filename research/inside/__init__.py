"""Looking inside a trained LSTM: its gates and cells, and how far back it remembers.

After Karpathy 2015, "Visualizing and understanding recurrent networks".
"""
