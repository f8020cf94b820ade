"""What one wrong cell costs: the base of a table with and without cells that go with no others.

    pip install plotnine
    python benchmarks/odd_rows.py [--table diamonds] [--rows 1000]

Bits of held-out rows by the base alone, no network trained, where one cell in a thousand is taken to be odd,
as it is, and where none is: the mean, and the row that costs most.
"""

import argparse

import undiffuse as ud
from mixed_data import TABLES
from undiffuse.bases import columns
from undiffuse.recipes import load_data


def main() -> None:
    """Print a line for each share of odd cells."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", default="diamonds", choices=TABLES)
    parser.add_argument("--rows", type=int, default=1000)
    options = parser.parse_args()
    model = ud.fit(TABLES[options.table](), steps=0, quiet=True).in_tensors
    rows = load_data(model.recipe).test[: options.rows]
    for share in (columns.ODD, 1e-300):
        columns.ODD = share
        bits = model.bits(rows, terms=100).double() * rows.shape[1]
        error = float(bits.std()) / len(bits) ** 0.5
        print(f"odd {share:g}: {bits.mean():.2f} +- {error:.2f} bits a row, at most {bits.max():.0f}")


if __name__ == "__main__":
    main()
