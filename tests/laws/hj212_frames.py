"""HJ 212 frames that others have published, as they stand in their repositories; nobody here computed their checks."""

TAIL = "\r\n"

CLOCK = (
    "##0101QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;"
    "CP=&&RtdInterval=30&&1C80" + TAIL
)
"""HJ 212-2017, Annex A (its prose misprints the check as 1C08)."""

A1 = "##0087QN=20240601085857223;ST=32;CN=1011;PW=123456;MN=010000A8900016F000169DC0;Flag=9;CP=&&&&2200" + TAIL
"""HJ 212-2025, Annex A.1 (Daidai52640/cems-data-pipeline, tests/protocol/hj212/test_vectors.json)."""

A2_PLAIN = (
    "##0234QN=20240520210700000;ST=31;CN=2051;PW=123456;MN=010000A8900016F000169DC0;Flag=9;CP=&&DataTime=20240520210600;"
    "a01011-Min=1.35,a01011-Avg=1.35,a01011-Max=1.35,a01011-Flag=N;"
    "a01014-Min=3.20,a01014-Avg=3.20,a01014-Max=3.20,a01014-Flag=N&&B541" + TAIL
)
"""HJ 212-2025, Annex A.2, example 3: 147 bytes of body (same file)."""

_A2_CIPHER = bytes.fromhex(
    "E43E159ACFAB242CB53155FB8B9281A1A242577ABFAED881BE88B72D69FC55ED1A80119FAAC8B3CD33D285CC76F57F2C"
    "A7F88B9573C6647E0F07E24609BD6B63EB20C5B9784F28E71D2F4994FF61D9E13B391A1D2A454B65388D5D9435DBF021"
    "528C7BF9755EF16518710C0CAC0ADEF9C5156CD0A5A17674AC0ED2ABC40023E9EF70128554B82438E91ADCE98A0D03A4"
)
A2_SEALED = (
    "##0234QN=20240520210700000;ST=31;CN=2051;PW=123456;MN=010000A8900016F000169DC0;Flag=9;CP=&&{"
    + ",".join(f"0x{byte:02X}" for byte in _A2_CIPHER)
    + "}g=N&&B541"
    + TAIL
)
"""Annex A.2, example 4: the same encrypted; the length is that of the plaintext, three bytes stay in clear."""

A2_KEY = b"0" * 16
"""Annex A.2: the key is 16 times 0x30."""

A2_WHOLE_PLAIN = (
    "##0295QN=20240520210700000;ST=31;CN=2051;PW=123456;MN=010000A8900016F000169DC0;Flag=9;CP=&&DataTime=20240520210600;"
    "a01011-Min=1.35,a01011-Avg=1.35,a01011-Max=1.35,a01011-Flag=N;"
    "a01012-Min=9.3,a01012-Avg=9.3,a01012-Max=9.3,a01012-Flag=N;"
    "a01014-Min=3.20,a01014-Avg=3.211,a01014-Max=3.212,a01014-Flag=N&&2200" + TAIL
)
_A2_WHOLE_CIPHER = bytes.fromhex(
    "E43E159ACFAB242CB53155FB8B9281A1A242577ABFAED881BE88B72D69FC55ED1A80119FAAC8B3CD33D285CC76F57F2C"
    "A7F88B9573C6647E0F07E24609BD6B63EB20C5B9784F28E71D2F4994FF61D9E1C2B3075592B4D1E09C4D8BB27BE97B55"
    "9E3DA6643781A6F477769DEEB009B10DFFF3426922725D607DC4480F0CAC5F70DB2587B124BCB281592721D6E4BC180A"
    "97E5E111499CBE822E31C8D7761553543AA24207C290997BBDE64F9266BC5F529A172E381C1D898CA1A0D771A914A7B2"
    "D7467C70B94F1D4A7B0350A48DBF8B41"
)
A2_WHOLE_SEALED = (
    A2_WHOLE_PLAIN.partition("DataTime")[0]
    + "{"
    + ",".join(f"0x{byte:02X}" for byte in _A2_WHOLE_CIPHER)
    + "}&&2200"
    + TAIL
)
"""Annex A.2, examples 1 and 2: 208 bytes of body, thirteen whole blocks (same file)."""

MINUTE = (
    "##0411QN=20220513162608370;ST=22;CN=2051;PW=123456;MN=JLYP01_AIR01_0001;Flag=4;CP=&&DataTime=20220513162600;"
    "a21004-Avg=4,a21004-Flag=N;a05024-Avg=63,a05024-Flag=N;a21026-Avg=6,a21026-Flag=N;a21005-Avg=0.427,a21005-Flag=N;"
    "a34004-Avg=14,a34004-Flag=N;a34002-Avg=31,a34002-Flag=N;a01007-Avg=1,a01007-Flag=N;a01008-Avg=11,a01008-Flag=N;"
    "a01001-Avg=17,a01001-Flag=N;a01002-Avg=85,a01002-Flag=N;a01006-Avg=95,a01006-Flag=N&&D641" + TAIL
)
"""flash520/hj212, example/client/client.go."""

STRANGE_ST = (
    "##0234ST=101;CN=2011;PW=123456;MN=41050022000017;CP=&&DataTime=20200922110000;a34010-Rtd=2.017,a34010-Flag=N;"
    "a34009-Rtd=0.522,a34009-Flag=N;ua19004-Rtd=2.017,ua19004-Flag=N;ua19005-Rtd=0.522,ua19005-Flag=N;"
    "ua19003-Rtd=2.539,ua19003-Flag=N&&3300"
)
"""tonyxia2016/HJ212Receiver, sources/GB212Service/bin/Release/rx.log: a capture; no QN, no Flag, ST=101."""

_LONG_ITEMS = [
    "112", "121", "126", "127", "128", "129", "130", "023", "802", "803", "808", "801",
    "811", "810", "812", "806", "039", "805", "817", "a99949", "a99948", "804", "040", "028",
    "029", "030", "041", "809", "814", "038", "816", "813", "033", "036", "807", "815",
]  # fmt: skip
LONG_SWAPPED = (
    "##1623QN=20200924101500117;ST=31;CN=2051;PW=123456;MN=88888880000001;CP=&&DataTime=20200924101000;"
    + ";".join(f"{code}-Min=0.000,{code}-Avg=0.000,{code}-Max=0.000" for code in _LONG_ITEMS)
    + "&&0681"
)
"""The same capture: 1623 bytes where the standard allows 1024, and the CRC of Modbus, low byte first."""

EDITION_2005 = (
    "##0139ST=32;CN=2011;PW=123456;MN=LD130133000015;CP=&&DataTime=20160824003817000;B01-Rtd=36.91;"
    "011-Rtd=231.0,011-Flag=N;060-Rtd=1.803,060-Flag=N&&4980" + TAIL
)
"""zblzbl1991/hj-212-parser, CpDataLevelMapDeserializerTest.java."""

REWRITTEN = (
    "##0136ST=32;CN=2011;PW=123456;MN=LD130133000015;CP=&&DataTime=20160824003817;B01-Rtd=36.91;"
    "011-Rtd=231.0,011-Flag=N;060-Rtd=1.803,060-Flag=N&&4980" + TAIL
)
"""The same file: the time was cut by hand, the length mended, the check not: this is what a relay does, too."""

ASKED = "##0087QN=20201015123632010;ST=80;CN=2011;PW=123456;MN=410183160889201000212505;Flag=4;CP=&&&&2080" + TAIL
ACK = "##0087QN=20201015123632010;ST=91;CN=9014;PW=123456;MN=410183160889201000212505;Flag=4;CP=&&&&f001"
"""zblzbl1991/hj-212-parser, MapperTest.java: an upload and the acknowledgement of one with the same QN."""

DUST = (
    "##0367QN=20200814151600001;ST=22;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=7;CP=&&DataTime=20200814151600;"
    "LA-td=50.1,LA-Flag=N;a34004-Rtd=207,a34004-Flag=N;a34002-Rtd=295,a34002-Flag=N;a01001-Rtd=12.6,a01001-Flag=N;"
    "a01002-Rtd=32,a01002-Flag=N;a01006-Rtd=101.02,a01006-Flag=N;a01007-Rtd=2.1,a01007-Flag=N;a01008-Rtd=120,"
    "a01008-Flag=N;a34001-Rtd=217,a34001-Flag=N;&&5CC0" + TAIL
)
"""teafull/hjt212, doc/testdata: a ; too many, LA-td, bit D of Flag without sub-packets."""

PORTABLE = (
    "##0589QN=20210210073530000;ST=22;CN=2011;MN=aqms-1100-2020110011;PW=123456;Flag=4;CP=&&DataTime=20210210073530;"
    "a34004-Rtd=33,a34004-Flag=N;a34002-Rtd=42,a34002-Flag=N;pms_rules-Rtd=7,pms_rules-Flag=N;a01001-Rtd=10,a01001-Flag=N;"
    "a01002-Rtd=73,a01002-Flag=N;a01006-Rtd=102.3,a01006-Flag=N;lng-Rtd=120.32879,lng-Flag=N;lat-Rtd=31.17347,lat-Flag=N;"
    "a21026-Rtd=2,a21026-Flag=N;a21004-Rtd=28,a21004-Flag=N;a05024-Rtd=58,a05024-Flag=N;a21005-Rtd=0.5,a21005-Flag=N;"
    "a99054-Rtd=0.137,a99054-Flag=N;hot_t-Rtd=39.3,hot_t-Flag=N;a01007-Rtd=2.2,a01007-Flag=N;a01008-Rtd=41,a01008-Flag=N;"
    "vn-Rtd=1.04,vn-Flag=N&&5D80" + TAIL
)
"""The same file: MN before PW, codes of its own."""

LONG_PASSWORD = (
    "##0285QN=20190925181031464;ST=22;CN=2061;PW=BF470F88957588DE902D1A52;MN=Z13401000010301;Flag=5;"
    "CP=&&DataTime=20190924220000;a34006-Avg=2.69700,a34006-Flag=N;a34007-Avg=7.96600,a34007-Flag=N;"
    "a34048-Avg=3.30600,a34048-Flag=N;a34047-Avg=7.35700,a34047-Flag=N;a34049-Avg=10.66300,a34049-Flag=N&&C181" + TAIL
)
"""1249993110/IceCoffee.HJ212, Test/Program.cs: a PW of 24 characters."""

SHORT_LENGTH = (
    "##453QN=20160801085000001;ST=22;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=7;CP=&&DataTime=20160801084000;"
    "a21005-Rtd=1.1,a21005-Flag=N;a21004-Rtd=112,a21004-Flag=N;a21026-Rtd=58,a21026-Flag=N;LA-td=50.1,LA-Flag=N;"
    "a34004-Rtd=207,a34004-Flag=N;a34002-Rtd=295,a34002-Flag=N;a01001-Rtd=12.6,a01001-Flag=N;a01002-Rtd=32,a01002-Flag=N;"
    "a01006-Rtd=101.02,a01006-Flag=N;a01007-Rtd=2.1,a01007-Flag=N;a01008-Rtd=120,a01008-Flag=N;a34001-Rtd=217,"
    "a34001-Flag=N;&&c0c1"
)
"""A field frame in a public Rust crate (src/lib.rs, parse_user_provided_compat_frame_len453_crc_c0c1): no leading zero,
CRC in small letters, no CR LF."""

PUBLISHED = {
    name: frame.encode()
    for name, frame in {
        "2017 Annex A": CLOCK,
        "2025 Annex A.1": A1,
        "2025 Annex A.2.1": A2_WHOLE_PLAIN,
        "2025 Annex A.2.3": A2_PLAIN,
        "minute means": MINUTE,
        "ST=101": STRANGE_ST,
        "1623 bytes, CRC of Modbus": LONG_SWAPPED,
        "2005": EDITION_2005,
        "upload": ASKED,
        "acknowledgement": ACK,
        "dust": DUST,
        "portable": PORTABLE,
        "long password": LONG_PASSWORD,
        "short length": SHORT_LENGTH,
    }.items()
}
"""Every one is a whole, checked frame."""
