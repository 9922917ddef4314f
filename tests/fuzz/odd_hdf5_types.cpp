#include "tests/fuzz/odd_hdf5_types.h"

#include <array>
#include <cstdint>

namespace thaw {
namespace {

OddId string_type(FuzzedDataProvider& choices) {
  OddId type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), choices.ConsumeBool() ? H5T_VARIABLE
                                                : choices.ConsumeIntegralInRange<unsigned>(1, 70));
  H5Tset_strpad(type.get(),
                choices.PickValueInArray({H5T_STR_NULLTERM, H5T_STR_NULLPAD, H5T_STR_SPACEPAD}));
  H5Tset_cset(type.get(), choices.ConsumeBool() ? H5T_CSET_UTF8 : H5T_CSET_ASCII);
  return type;
}

OddId enumeration() {
  OddId type(H5Tenum_create(H5T_STD_I8LE), H5Tclose);
  for (std::int8_t value = 0; value < 2; ++value) {
    H5Tenum_insert(type.get(), value == 0 ? "FALSE" : "TRUE", &value);
  }
  return type;
}

OddId records(FuzzedDataProvider& choices) {
  OddId type(H5Tcreate(H5T_COMPOUND, choices.ConsumeIntegralInRange<unsigned>(12, 1 << 17)),
             H5Tclose);
  H5Tinsert(type.get(), "a", 0, H5T_STD_I64LE);
  H5Tinsert(type.get(), "b", 8, H5T_STD_I32LE);
  return type;
}

/// An integer or a float of unusual width, precision or byte order.
OddId unusual_number(FuzzedDataProvider& choices) {
  const bool integer = choices.ConsumeBool();
  OddId type(H5Tcopy(integer ? H5T_STD_I64LE : H5T_IEEE_F32LE), H5Tclose);
  if (integer) {
    H5Tset_precision(type.get(), choices.ConsumeIntegralInRange<unsigned>(1, 64));
    H5Tset_offset(type.get(), choices.ConsumeIntegralInRange<unsigned>(0, 63));
    H5Tset_size(type.get(), choices.ConsumeIntegralInRange<unsigned>(1, 40));
  } else {
    H5Tset_fields(type.get(), 15, 10, 5, 0, 10);  // float16
    H5Tset_ebias(type.get(), 15);
    H5Tset_precision(type.get(), 16);
    H5Tset_size(type.get(), choices.ConsumeIntegralInRange<unsigned>(2, 4));
  }
  if (choices.ConsumeBool()) H5Tset_order(type.get(), H5T_ORDER_BE);
  return type;
}

hsize_t odd_dimension(FuzzedDataProvider& choices) {
  switch (choices.ConsumeIntegralInRange<unsigned>(0, 5)) {
    case 0:
      return 0;
    case 1:
      return hsize_t{1} << choices.ConsumeIntegralInRange<unsigned>(0, 62);
    case 2:
      return choices.ConsumeIntegralInRange<hsize_t>(0, hsize_t{1} << 40);
    default:
      return choices.ConsumeIntegralInRange<hsize_t>(0, 12);
  }
}

}  // namespace

OddId odd_type(FuzzedDataProvider& choices, hid_t usual) {
  if (!odd(choices, 8)) return {H5Tcopy(usual), H5Tclose};
  const std::array numbers = {H5T_STD_I8LE,   H5T_STD_I16LE,  H5T_STD_I32LE, H5T_STD_I64LE,
                              H5T_STD_U8LE,   H5T_STD_U16LE,  H5T_STD_U32LE, H5T_STD_U64LE,
                              H5T_STD_I64BE,  H5T_STD_I32BE,  H5T_STD_U8BE,  H5T_IEEE_F32LE,
                              H5T_IEEE_F64LE, H5T_IEEE_F32BE, H5T_STD_B64LE, H5T_UNIX_D64LE};
  switch (choices.ConsumeIntegralInRange<unsigned>(0, 8)) {
    case 0:
      return string_type(choices);
    case 1:
      return enumeration();
    case 2:
      return records(choices);
    case 3:
      return {H5Tvlen_create(H5T_STD_I64LE), H5Tclose};
    case 4: {
      const std::array<hsize_t, 2> dimensions = {odd_dimension(choices), 3};
      return {H5Tarray_create2(H5T_STD_I64LE, 2, dimensions.data()), H5Tclose};
    }
    case 5:
      return {H5Tcreate(H5T_OPAQUE, choices.ConsumeIntegralInRange<unsigned>(1, 1 << 17)),
              H5Tclose};
    case 6:
      return unusual_number(choices);
    case 7:
      return {H5Tcopy(H5T_STD_REF_OBJ), H5Tclose};
    default:
      return {H5Tcopy(choices.PickValueInArray(numbers)), H5Tclose};
  }
}

OddId odd_space(FuzzedDataProvider& choices, const std::vector<hsize_t>& usual) {
  if (!odd(choices, 8)) {
    return {H5Screate_simple(static_cast<int>(usual.size()), usual.data(), nullptr), H5Sclose};
  }
  const auto kind = choices.ConsumeIntegralInRange<unsigned>(0, 7);
  if (kind == 0) return {H5Screate(H5S_NULL), H5Sclose};
  if (kind == 1) return {H5Screate(H5S_SCALAR), H5Sclose};
  std::vector<hsize_t> shape = usual;
  if (kind == 2) shape.resize(choices.ConsumeIntegralInRange<unsigned>(1, 6), 1);
  for (hsize_t& dimension : shape) {
    if (choices.ConsumeBool()) dimension = odd_dimension(choices);
  }
  return {H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose};
}

}  // namespace thaw
