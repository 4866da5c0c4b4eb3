"""Encodings, line ends, quotes and headers: every bad text file has one right outcome."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crm_pipeline.lib.ingestion.readers import blocks

from .door import GOOD, HEADER, OTHER, Door, csv

MakeDoor = Callable[..., Door]


@pytest.mark.requirement("ING-3")
@pytest.mark.bad_input("B01")
def test_b01_a_utf8_byte_order_mark_is_dropped(door: Door) -> None:
    report = door.take(b"\xef\xbb\xbf" + csv(GOOD))
    assert (report.written, report.quarantined) == (1, 0)
    assert door.parts()[0]["order_id"] == "A1"


CHINESE = {
    "columns": {
        "order_id": "订单号",
        "source_customer_id": "买家",
        "payment_method": "支付方式",
        "ordered_at": {"from": "下单时间", "format": "%Y-%m-%d %H:%M:%S"},
        "paid_amount": {"from": "金额", "scale": 2},
    }
}
CHINESE_CSV = "订单号,买家,下单时间,金额,支付方式\nA1,张三,2026-01-02 10:00:00,12.50,支付宝𠮷\n"


@pytest.mark.requirement("ING-3")
@pytest.mark.bad_input("B02")
def test_b02_gb18030_is_read_when_declared(make_door: MakeDoor) -> None:
    door = make_door({**CHINESE, "format": {"encoding": "gb18030"}})
    assert door.take(CHINESE_CSV.encode("gb18030")).written == 1
    assert door.parts()[0]["payment_method"] == "支付宝𠮷"
    assert door.parts()[0]["source_customer_id"] == "张三"


@pytest.mark.bad_input("B02")
def test_b02_gb18030_undeclared_is_refused_whole(make_door: MakeDoor) -> None:
    report = make_door(CHINESE).take(CHINESE_CSV.encode("gb18030"))
    assert (report.outcome, report.reason_code) == ("refused", "encoding")


@pytest.mark.requirement("ING-3")
@pytest.mark.bad_input("B03")
@pytest.mark.parametrize("mark", ["utf-16-le", "utf-16-be"])
def test_b03_utf16_with_a_byte_order_mark_is_read(make_door: MakeDoor, mark: str) -> None:
    door = make_door({**CHINESE, "format": {"encoding": "utf-16"}})
    report = door.take("\ufeff".encode(mark) + CHINESE_CSV.encode(mark))
    assert report.written == 1
    assert door.parts()[0]["payment_method"] == "支付宝𠮷"


@pytest.mark.bad_input("B03")
def test_b03_utf16_declared_as_utf8_names_the_remedy(door: Door) -> None:
    report = door.take(csv(GOOD).decode().encode("utf-16"))
    assert report.reason_code == "encoding"
    assert "utf-16" in str(report.remedy)


@pytest.mark.bad_input("B04")
def test_b04_utf16_without_a_mark_is_refused(make_door: MakeDoor) -> None:
    door = make_door({"format": {"encoding": "utf-16"}})
    assert door.take(csv(GOOD).decode().encode("utf-16-le")).reason_code == "encoding"


@pytest.mark.bad_input("B05")
@pytest.mark.parametrize("encoding", ["gbk", "gb18030"])
def test_b05_lost_characters_in_chinese_encodings_cost_their_record_only(
    make_door: MakeDoor, encoding: str
) -> None:
    """锟斤拷 is UTF-8 by its bytes; that one value makes no file a UTF-8 file."""
    door = make_door({"format": {"encoding": encoding}})
    text = csv(GOOD.replace("card", "锟斤拷锟斤拷"), OTHER.replace("cash", "现金")).decode()
    report = door.take(text.encode(encoding))
    assert (report.outcome, report.written) == ("written", 1)
    assert door.reasons() == [(1, "encoding", "payment_method")]


@pytest.mark.bad_input("B04")
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_b04_mixed_encodings_are_refused_whole(make_door: MakeDoor, encoding: str) -> None:
    door = make_door({"format": {"encoding": encoding}})
    mixed = (
        csv(GOOD.replace("card", "支付")) + OTHER.replace("cash", "现金宝").encode("gbk") + b"\n"
    )
    assert door.take(mixed).reason_code == "encoding"
    assert door.parts() == []


@pytest.mark.bad_input("B06")
def test_b06_a_nul_byte_quarantines_its_record_alone(door: Door) -> None:
    report = door.take(csv(GOOD.replace("card", "ca\0rd"), OTHER))
    assert (report.received, report.written) == (2, 1)
    assert door.reasons() == [(1, "nul", None)]


@pytest.mark.requirement("ING-3")
@pytest.mark.bad_input("B07")
@pytest.mark.parametrize("ends", [("\r", "\r", "\r"), ("\r\n", "\n", "\r\n"), ("\n", "\r", "\r\n")])
def test_b07_every_line_end_ends_a_line(door: Door, ends: tuple[str, str, str]) -> None:
    text = "".join(line + end for line, end in zip((HEADER, GOOD, OTHER), ends, strict=True))
    assert door.take(text).written == 2
    assert [r["payment_method"] for r in door.parts()] == ["card", "cash"]


@pytest.mark.bad_input("B07")
def test_b07_a_crlf_cut_in_two_by_a_block_border_is_one_line_end(door: Door) -> None:
    text = csv(GOOD, OTHER).replace(b"\n", b"\r\n")
    for size in range(1, len(text) + 1):
        import io

        joined = b"".join(blocks.line_blocks(io.BytesIO(text), "utf-8", block_bytes=size))
        assert joined == text


@pytest.mark.requirement("ING-3")
@pytest.mark.bad_input("B08")
def test_b08_a_newline_inside_quotes_is_kept(door: Door) -> None:
    report = door.take(csv(GOOD.replace("card", '"two\r\nlines, ""quoted"""'), OTHER))
    assert (report.received, report.written) == (2, 2)
    assert door.parts()[0]["payment_method"] == 'two\r\nlines, "quoted"'


@pytest.mark.requirement("ING-4")
@pytest.mark.bad_input("B09")
def test_b09_an_unclosed_quote_costs_one_record_not_the_rest(door: Door) -> None:
    report = door.take(csv(GOOD, GOOD.replace("card", '"card'), OTHER, OTHER))
    assert (report.received, report.written) == (4, 3)
    assert door.reasons() == [(2, "unclosed_quote", None)]
    assert door.quarantine()[0]["raw_record"] == GOOD.replace("card", '"card') + "\n"


@pytest.mark.bad_input("B09")
def test_b09_text_behind_a_closing_quote_is_not_glued_on(door: Door) -> None:
    door.take(csv(GOOD.replace("card", '"ca"rd"'), GOOD.replace("card", '"ca"rd""'), OTHER))
    assert [code for _, code, _ in door.reasons()] == ["unclosed_quote", "quote"]


@pytest.mark.bad_input("B10")
@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_b10_a_delimiter_counts_only_when_declared(make_door: MakeDoor, delimiter: str) -> None:
    data = csv(GOOD).replace(b",", delimiter.encode())
    assert make_door(name="undeclared").take(data).reason_code == "header"
    declared = make_door({"format": {"delimiter": delimiter}})
    assert declared.take(data).written == 1


@pytest.mark.requirement("ING-3")
@pytest.mark.bad_input("B10")
def test_b10_tsv_is_tab_separated(make_door: MakeDoor) -> None:
    door = make_door({"format": {"kind": "tsv"}})
    assert door.take(csv(GOOD).replace(b",", b"\t")).written == 1


@pytest.mark.bad_input("B11")
def test_b11_an_empty_file_is_refused(door: Door) -> None:
    assert door.take(b"").reason_code == "empty"
    assert door.inbox_rows() == 1


@pytest.mark.bad_input("B12")
def test_b12_a_header_alone_is_a_warning(door: Door) -> None:
    report = door.take(csv())
    assert (report.outcome, report.received) == ("written", 0)
    assert report.warnings


@pytest.mark.bad_input("B12")
def test_b12_a_header_alone_is_refused_when_records_are_declared(make_door: MakeDoor) -> None:
    door = make_door({"format": {"min_records": 1}})
    assert door.take(csv()).reason_code == "min_records"


@pytest.mark.bad_input("B13")
def test_b13_a_web_page_is_refused(door: Door) -> None:
    report = door.take("<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>\n")
    assert (report.outcome, report.reason_code) == ("refused", "header")


@pytest.mark.bad_input("B14")
def test_b14_an_error_message_saved_as_data_is_refused(make_door: MakeDoor) -> None:
    body = '{"errcode":40001,"errmsg":"invalid credential"}'
    assert make_door(name="csv").take(body).reason_code == "error_body"
    assert make_door({"format": {"kind": "jsonl"}}).take(body).reason_code == "error_body"


@pytest.mark.bad_input("B15")
@pytest.mark.parametrize("twin", ["Amount", "amount", "AMOUNT ", "Ａmount"])
def test_b15_one_name_twice_is_refused(door: Door, twin: str) -> None:
    report = door.take(csv(GOOD + ",1", header=f"{HEADER},{twin}"))
    assert report.reason_code == "header"


@pytest.mark.bad_input("B16")
def test_b16_a_missing_column_is_refused_by_name(door: Door) -> None:
    report = door.take(csv("A1,c1,2026-01-02 10:00:00,x", header="No,Buyer,At,Remark"))
    assert report.reason_code == "header"
    assert "'Amount'" in str(report.message)


@pytest.mark.bad_input("B16")
def test_b16_a_missing_optional_column_is_null(door: Door) -> None:
    assert door.take(csv("A1,c1,2026-01-02 10:00:00,5", header="No,Buyer,At,Amount")).written == 1
    assert door.parts()[0]["payment_method"] is None


@pytest.mark.bad_input("B17")
def test_b17_an_extra_column_is_reported_and_ignored(door: Door) -> None:
    report = door.take(csv(GOOD + ",blue", header=HEADER + ",Colour"))
    assert report.written == 1
    assert "Colour" in report.warnings[0]


@pytest.mark.bad_input("B17")
@pytest.mark.parametrize("name", ["手机号", "Phone", "e-mail", "身份证号", "Birthday"])
def test_b17_an_extra_column_of_personal_data_is_refused(door: Door, name: str) -> None:
    report = door.take(csv(GOOD + ",x", header=f"{HEADER},{name}"))
    assert report.reason_code == "personal_column"


@pytest.mark.bad_input("B17")
def test_b17_a_personal_column_may_be_ignored_on_purpose(make_door: MakeDoor) -> None:
    report = make_door({"ignore": ["Phone"]}).take(csv(GOOD + ",x", header=f"{HEADER},Phone"))
    assert (report.written, report.warnings) == (1, ())


@pytest.mark.bad_input("B18")
def test_b18_columns_are_found_by_name_never_by_place(door: Door) -> None:
    door.take(csv("card,12.50,2026-01-02 10:00:00,c1,A1", header="Remark,Amount,At,Buyer,No"))
    assert door.parts()[0]["order_id"] == "A1"
    assert str(door.parts()[0]["paid_amount"]) == "12.500000"


@pytest.mark.bad_input("B19")
def test_b19_odd_blanks_and_widths_in_a_header_do_not_matter(door: Door) -> None:
    header = "\u200bNo , Bu\u00a0yer,Ａt,\ufeffAmount\u3000,Remark"
    assert door.take(csv(GOOD, header=header)).written == 1


@pytest.mark.bad_input("B20")
def test_b20_a_missing_header_is_refused(door: Door) -> None:
    report = door.take(f"{GOOD}\n{OTHER}\n")
    assert report.reason_code == "header"
    assert "c1" not in f"{report.message}{report.remedy}", "data must not be quoted as if a header"


@pytest.mark.requirement("ING-4")
@pytest.mark.bad_input("B21")
@pytest.mark.bad_input("B22")
def test_b21_b22_short_and_long_rows_are_quarantined_and_the_others_stay(door: Door) -> None:
    report = door.take(csv(GOOD, "A2,c2,2026-01-02 11:00:00", OTHER, GOOD + ",extra"))
    assert (report.received, report.written) == (4, 2)
    assert door.reasons() == [(2, "columns", None), (4, "columns", None)]


@pytest.mark.bad_input("B23")
@pytest.mark.parametrize("line", ["合计,,,19.50,", "合计,19.50"])
def test_b23_a_total_line_is_no_record(door: Door, line: str) -> None:
    door.take(csv(GOOD, OTHER, line))
    assert door.reasons() == [(3, "not_a_record", None)]


@pytest.mark.bad_input("B24")
def test_b24_titles_comments_and_blank_lines_are_skipped_when_declared(make_door: MakeDoor) -> None:
    lines = ["Orders of January", "", HEADER, "# by hand", GOOD, "", OTHER]
    text = "".join(f"{line}\n" for line in lines)
    declared = {"title_rows": 2, "comment": "#", "blank_lines": "skip"}
    report = make_door({"format": declared}).take(text)
    assert (report.received, report.written) == (2, 2)
    assert make_door(name="undeclared").take(text).outcome == "refused"


@pytest.mark.bad_input("B24")
def test_b24_a_blank_line_is_quarantined_when_undeclared(door: Door) -> None:
    door.take(csv(GOOD, "", OTHER))
    assert door.reasons() == [(2, "columns", None)]


@pytest.mark.bad_input("B25")
def test_b25_a_last_line_without_end_may_be_cut_off(door: Door) -> None:
    report = door.take(csv(GOOD, OTHER)[:-1])
    assert report.received == 2
    assert door.reasons() == [(2, "truncated", None)]


@pytest.mark.bad_input("B25")
def test_b25_a_missing_last_line_end_can_be_declared(make_door: MakeDoor) -> None:
    door = make_door({"format": {"final_newline": "optional"}})
    assert door.take(csv(GOOD, OTHER)[:-1]).written == 2


@pytest.mark.bad_input("B71")
def test_b71_a_field_of_three_megabytes_is_quarantined(door: Door) -> None:
    big = "x" * 3_000_000
    report = door.take(
        csv(GOOD, GOOD.replace("card", big), GOOD.replace("card", f'"{big}\n"'), OTHER)
    )
    assert (report.received, report.written) == (4, 2)
    assert {code for _, code, _ in door.reasons()} == {"field_too_long"}
    assert all(len(q["raw_record"]) < 30_000 for q in door.quarantine())


@pytest.mark.bad_input("B72")
def test_b72_ten_thousand_columns_are_refused(door: Door) -> None:
    header = ",".join(f"c{n}" for n in range(10_000))
    assert door.take(csv(header=header)).reason_code == "too_many_columns"


@pytest.mark.bad_input("B72")
def test_b72_one_column_is_a_table(make_door: MakeDoor) -> None:
    columns = {"list_price_amount": None, "product_name": None}
    said = {
        "feed": "codes",
        "channel": "shop",
        "entity": "products",
        "format": {"kind": "csv"},
        "timezone": "UTC",
        "known_at": {"file_name": r"(\d{8})", "format": "%Y%m%d"},
        "columns": {"sku": "Code", **{k: v for k, v in columns.items() if v}},
    }
    door = make_door(base=said)
    assert door.take("Code\nA\nB\n", "codes-20260101.csv").written == 2


@pytest.mark.bad_input("B73")
@pytest.mark.bad_input("B74")
@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "<script>alert(1)</script>"])
def test_b73_b74_formulas_and_scripts_are_stored_as_they_are(door: Door, text: str) -> None:
    door.take(csv(GOOD.replace("card", text)))
    assert door.parts()[0]["payment_method"] == text


@pytest.mark.bad_input("B75")
@pytest.mark.bad_input("B76")
@pytest.mark.parametrize(
    "text",
    [
        "'); DROP TABLE orders; --",
        "{{ env_var('HOME') }}",
        "{% for x in y %}",
        "$$; copy",
        "a -- b",
    ],
)
def test_b75_b76_code_in_data_stays_text(door: Door, text: str) -> None:
    door.take(csv(GOOD.replace("card", text)))
    assert door.parts()[0]["payment_method"] == text
